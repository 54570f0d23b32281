"""python -m shared.tests.counting worker | api"""

from shared.service import commands
from shared.tests.counting import SERVICE

if __name__ == "__main__":
    commands(SERVICE)()
