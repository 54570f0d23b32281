"""python -m bench.worker: the worker of the reference handler, as every service's."""

from bench.reference import SERVICE
from shared import service

if __name__ == "__main__":
    service.execute(SERVICE, lambda settings: service.worker(SERVICE, settings), "worker")
