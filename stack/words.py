"""Names for things that were never there: people, shops, goods, streets."""

from __future__ import annotations

FIRST_NAMES = (
    "Ada", "Amara", "Anton", "Beatriz", "Björn", "Chiara", "Chidi", "Dagny", "Elif", "Emeka", "Fatima", "Gustav",
    "Hana", "Ines", "Ivan", "Jamal", "Jürgen", "Kaveh", "Kenji", "Laila", "Linnea", "Łucja", "Mateo", "Mei", "Nadia",
    "Noor", "Oluwaseun", "Petra", "Priya", "Quentin", "Rafael", "Rosa", "Sanne", "Siobhán", "Tariq", "Thandiwe", "Uma",
    "Viktor", "Wanjiru", "Xavier", "Yara", "Zofia",
)  # fmt: skip
LAST_NAMES = (
    "Abe", "Adeyemi", "Almeida", "Andersen", "Becker", "Bianchi", "Castillo", "Chen", "Costa", "D'Angelo", "Demir",
    "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Horvat", "Ibrahim", "Ito", "Jensen", "Kamau", "Kaya", "Kim",
    "Kowalska", "Larsen", "Lindqvist", "Mbeki", "Meyer", "Moreau", "Nakamura", "Nguyen", "Novák", "O'Brien", "Okafor",
    "Pereira", "Popescu", "Rahman", "Rossi", "Silva", "Smith-Jones", "Suzuki", "Van Dijk", "Wójcik", "Yilmaz", "Zhang",
)  # fmt: skip
TIERS = ("bronze", "bronze", "bronze", "silver", "silver", "gold")
SELLERS = ("Harbour", "Northwind", "Lantern", "Copper Kettle", "Meadow", "Quarry", "Tidewater", "Linden", "Foundry")
SELLER_KINDS = ("Supply", "Trading", "Goods", "Works", "& Daughters", "Outfitters")
CATEGORIES = ("Kitchen", "Garden", "Office", "Outdoors", "Music", "Workshop", "Toys", "Lighting")
ADJECTIVES = (
    "Blue", "Brass", "Compact", "Cordless", "Enamelled", "Everyday", "Folding", "Foldaway", "Heavy", "Insulated", "Large",
    "Oak", "Pocket", "Quiet", "Recycled", "Small", "Solar", "Stainless", "Travel", "Woollen",
)  # fmt: skip
GOODS = (
    "Bicycle Bell", "Blanket", "Bookend", "Camp Stove", "Chess Set", "Coffee Grinder", "Desk Lamp", "Drill", "Fountain Pen",
    "Guitar Strap", "Hammer", "Kettle", "Lantern", "Metronome", "Notebook", "Pan", "Puzzle", "Rucksack", "Secateurs",
    "Teapot", "Tent", "Torch", "Vase", "Watering Can",
)  # fmt: skip
STREETS = ("Linden", "Harbour", "Mill", "Station", "Church", "Orchard", "Bridge", "Market", "Observatory")
CITIES = (("Lisbon", "PT"), ("Gdańsk", "PL"), ("Leeds", "GB"), ("Nagoya", "JP"), ("Lagos", "NG"), ("Lyon", "FR"))
CARRIERS = ("Swift Parcel", "Northern Post", "Blue Van")
REASONS = ("changed my mind", "found it cheaper", "ordered twice", "takes too long")
VERDICTS = ("Broke on the second day.", "I had hoped for more.", "It will do.", "A good buy.", "I would buy it again.")
OPINIONS = (
    "It does what it says.", "The handle could be longer.", "My neighbour borrowed it and will not give it back.",
    "Well packed, and quick to arrive.", "Smaller than it looks in the picture.", "The manual is in four languages.",
    "I use it every morning.", "The colour is as shown.", "A little loud for the evening.", "It has a pleasant weight.",
)  # fmt: skip
