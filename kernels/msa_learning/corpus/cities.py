"""The cities that needles name; no training text does (`corpus.recall_tasks` has other names)."""

CITIES = (
    "Lisbon",
    "Oslo",
    "Cairo",
    "Lima",
    "Dublin",
    "Prague",
    "Hanoi",
    "Quito",
    "Accra",
    "Vienna",
)
