"""What each word of the command line does; `mrcnn_keras.cli` reads the words."""
