"""{{convert|230|acre}} -> "230 acres": the value and unit as given; the converted value is left out."""

import re

from pipelines.wikitext.marks import HOLE

_UNITS = {  # code -> singular, plural, symbol
    "km": ("kilometre", "kilometres", "km"),
    "m": ("metre", "metres", "m"),
    "cm": ("centimetre", "centimetres", "cm"),
    "mm": ("millimetre", "millimetres", "mm"),
    "um": ("micrometre", "micrometres", "μm"),
    "nm": ("nanometre", "nanometres", "nm"),
    "mi": ("mile", "miles", "mi"),
    "nmi": ("nautical mile", "nautical miles", "nmi"),
    "yd": ("yard", "yards", "yd"),
    "ft": ("foot", "feet", "ft"),
    "in": ("inch", "inches", "in"),
    "ly": ("light-year", "light-years", "ly"),
    "pc": ("parsec", "parsecs", "pc"),
    "AU": ("astronomical unit", "astronomical units", "AU"),
    "ha": ("hectare", "hectares", "ha"),
    "acre": ("acre", "acres", "acres"),
    "sqkm": ("square kilometre", "square kilometres", "km²"),
    "km2": ("square kilometre", "square kilometres", "km²"),
    "sqm": ("square metre", "square metres", "m²"),
    "m2": ("square metre", "square metres", "m²"),
    "cm2": ("square centimetre", "square centimetres", "cm²"),
    "sqmi": ("square mile", "square miles", "sq mi"),
    "mi2": ("square mile", "square miles", "sq mi"),
    "sqft": ("square foot", "square feet", "sq ft"),
    "ft2": ("square foot", "square feet", "sq ft"),
    "km3": ("cubic kilometre", "cubic kilometres", "km³"),
    "m3": ("cubic metre", "cubic metres", "m³"),
    "cuft": ("cubic foot", "cubic feet", "cu ft"),
    "ft3": ("cubic foot", "cubic feet", "cu ft"),
    "cumi": ("cubic mile", "cubic miles", "cu mi"),
    "l": ("litre", "litres", "l"),
    "L": ("litre", "litres", "L"),
    "ml": ("millilitre", "millilitres", "ml"),
    "mL": ("millilitre", "millilitres", "mL"),
    "gal": ("gallon", "gallons", "gal"),
    "USgal": ("US gallon", "US gallons", "US gal"),
    "impgal": ("imperial gallon", "imperial gallons", "imp gal"),
    "oilbbl": ("barrel", "barrels", "bbl"),
    "kg": ("kilogram", "kilograms", "kg"),
    "g": ("gram", "grams", "g"),
    "mg": ("milligram", "milligrams", "mg"),
    "t": ("tonne", "tonnes", "t"),
    "lb": ("pound", "pounds", "lb"),
    "oz": ("ounce", "ounces", "oz"),
    "LT": ("long ton", "long tons", "long tons"),
    "ST": ("short ton", "short tons", "short tons"),
    "st": ("stone", "stone", "st"),
    "C": ("°C", "°C", "°C"),
    "F": ("°F", "°F", "°F"),
    "K": ("kelvin", "kelvins", "K"),
    "C-change": ("°C", "°C", "°C"),
    "F-change": ("°F", "°F", "°F"),
    "km/h": ("kilometre per hour", "kilometres per hour", "km/h"),
    "m/s": ("metre per second", "metres per second", "m/s"),
    "mph": ("mile per hour", "miles per hour", "mph"),
    "kn": ("knot", "knots", "kn"),
    "W": ("watt", "watts", "W"),
    "kW": ("kilowatt", "kilowatts", "kW"),
    "MW": ("megawatt", "megawatts", "MW"),
    "hp": ("horsepower", "horsepower", "hp"),
    "bhp": ("brake horsepower", "brake horsepower", "bhp"),
    "PD/sqmi": ("person per square mile", "people per square mile", "/sq mi"),
    "PD/km2": ("person per square kilometre", "people per square kilometre", "/km²"),
    "PD/sqkm": ("person per square kilometre", "people per square kilometre", "/km²"),
    "°C": ("°C", "°C", "°C"),
    "°F": ("°F", "°F", "°F"),
}
_RANGES = {
    "-": "–",
    "–": "–",
    "to": " to ",
    "to(-)": " to ",
    "and": " and ",
    "or": " or ",
    "x": " × ",
    "by": " by ",
    "xx": " × ",
    "+/-": " ± ",
    "±": " ± ",
    "&": " and ",
    "and(-)": " and ",
}
_ONE = re.compile(r"[+\-−]?(?:1|1\.0+|0?\.\d+)")


def convert(arguments: dict[str, str]) -> str:
    """Value, range and unit of a {{convert}}, in words or symbols as its abbr and adj say."""
    values = [arguments[str(i)] for i in range(1, len(arguments) + 1) if str(i) in arguments]
    if not values or not values[0]:
        return HOLE
    text, last, rest = values[0], values[0], values[1:]
    while len(rest) >= 2 and rest[0] in _RANGES:
        text, last, rest = text + _RANGES[rest[0]] + rest[1], rest[1], rest[2:]
    if not rest:
        return text
    unit, rest = rest[0], rest[1:]
    result = _quantity(text, last, unit, arguments)
    # Feet and inches, pounds and ounces: a value and a smaller unit follow.
    if len(rest) >= 2 and unit in _UNITS and rest[1] in _UNITS and rest[0][:1].isdigit():
        result = f"{result} {_quantity(rest[0], rest[0], rest[1], arguments)}"
    return result


def _quantity(text: str, last: str, unit: str, arguments: dict[str, str]) -> str:
    singular, plural, symbol = _UNITS.get(unit, (unit, unit, unit))
    if arguments.get("sp") == "us":
        singular, plural = (_american(word) for word in (singular, plural))
    if arguments.get("abbr") in ("on", "in", "y", "yes") or unit in ("°C", "°F", "C", "F"):
        return f"{text} {symbol}"
    adjective = arguments.get("adj", "")
    if adjective in ("on", "1"):
        return f"{text}-{singular.replace(' ', '-')}"
    return f"{text} {singular if _ONE.fullmatch(last) and text == last else plural}"


def _american(word: str) -> str:
    return word.replace("metre", "meter").replace("litre", "liter")
