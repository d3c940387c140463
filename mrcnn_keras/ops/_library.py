"""stub"""
from dataclasses import dataclass

@dataclass(frozen=True)
class Status:
    implementation: str
    reason: str

def status(): return Status("tensorflow", "stub")
def usable(): return False
def require(): raise RuntimeError("not built")
