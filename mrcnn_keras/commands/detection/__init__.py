"""Detection in many images and videos, from which an interrupted run goes on. Nothing here imports TensorFlow."""
