"""python -m shared.tests.counting worker"""

from shared.service import commands
from shared.tests.counting import SERVICE

if __name__ == "__main__":
    commands(SERVICE)()
