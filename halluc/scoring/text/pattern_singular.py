"""Plural to singular as CHAIR's first published code does it, mistakes included.

LisaAnne/Hallucination uses `singularize` of CLiPS pattern 3.6 (BSD-3), which cannot be built any
longer. These are its rules and word lists in a notation of our own. As there, `dress` becomes
"dres", `bus` "bu" and `slice` "slouse", and CHAIR's numbers depend on it.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PREPOSITIONS = _words(
    """about above across after among around at athwart before behind below beneath beside besides
    between betwixt beyond but by during except for from in into near of off on onto out over since
    till to under until unto upon with"""
)
SAME = _words(
    """bison debris headquarters pincers trout bream diabetes herpes pliers tuna breeches djinn
    high-jinks proceedings whiting britches eland homework rabies wildebeest carp elk innings salmon
    chassis flounder jackanapes scissors christmas gallows mackerel series clippers georgia measles
    shears cod graffiti mews species contretemps mumps swine corps news swiss advice equipment
    happiness luggage software bread fruit information mathematics progress understanding butter
    furniture ketchup mayonnaise research water cheese garbage knowledge meat rice electricity
    gravel love mustard sand"""
)
IE = _words(
    """alergies cuties hoagies newbies softies veggies aunties doggies hotties nighties sorties
    weenies beanies eyries indies oldies stoolies yuppies birdies freebies junkies sweeties
    zombies bogies goonies laddies pixies techies bombies groupies laramies quickies collies
    hankies lingeries reveries toughies cookies hippies meanies rookies valkyries"""
)
IRREGULAR = tuple(
    (pair.split(":")[0], pair.split(":")[1])
    for pair in _words(
        """atlantes:atlas atlases:atlas axes:axe beeves:beef brethren:brother children:child
    corpora:corpus corpuses:corpus ephemerides:ephemeris feet:foot ganglia:ganglion geese:goose
    genera:genus genii:genie graffiti:graffito helves:helve kine:cow leaves:leaf loaves:loaf men:man
    mongooses:mongoose monies:money moves:move mythoi:mythos numena:numen occipita:occiput
    octopodes:octopus opera:opus opuses:opus our:my oxen:ox penes:penis penises:penis people:person
    sexes:sex soliloquies:soliloquy teeth:tooth testes:testis trilbys:trilby turves:turf
    zoa:zoon"""
    )
)

# The letters before the ending, the ending, its replacement; the first rule that fits is used.
_TABLE = r"""
.                                                 ae     a
.                                                 itis   itis
.                                                 eaux   eau
quiz                                              zes    -
matr                                              ices   ix
ap|vert|ind                                       ices   ex
alias|status                                      es     -
[octop|vir]                                       i      us
cris|ax|test                                      es     is
shoe                                              s      -
o|bus                                             es     -
[m|l]                                             ice    ouse
x|ch|ss|sh                                        es     -
m                                                 ovies  ovie
.                                                 ombies ombie
s                                                 eries  eries
[^aeiouy]|qu                                      ies    y
[aeo]l|[^d]ea                                     ves    f
-                                                 arves  arf
-                                                 erves  erve
[nlw]i                                            ves    fe
[lr]                                              ves    f
[aeo]                                             ves    ve
sive|tive|hive                                    s      -
[^f]                                              ves    fe
^analy                                            ses    sis
analy                                             ses    asis
ba|diagno|parenthe|progno|synop|the               ses    sis
.                                                 opses  opsis
.                                                 yses   ysis
h|d|r|o|n|b|cl|p                                  oses   ose
fruct|gluc|galact|lact|ket|malt|rib|sacchar|cellul ose   ose
.                                                 oses   osis
[ti]                                              a      um
n                                                 ews    ews
-                                                 s      -
"""
_RULES = tuple(
    (re.compile(f"({before.removeprefix('-')}){ending}$"), singular.removeprefix("-"))
    for before, ending, singular in (line.split() for line in _TABLE.strip().splitlines())
)


@lru_cache(maxsize=65536)
def singularize(word: str) -> str:
    """Return the singular of a noun according to pattern 3.6.

    Args:
        word: One lower-case token; every word is treated as a noun.
    """
    first, *rest = word.split("-")
    if rest and rest[0] in PREPOSITIONS:  # mothers-in-law
        return "-".join((singularize(first), *rest))
    if word.endswith("'"):
        return singularize(word[:-1]) + "'s"
    if any(entry.endswith(word) for entry in SAME):  # in that direction: "s" and "es" stay too
        return word
    if word.endswith(IE):  # cookies stays cookies
        return word
    for plural, singular in IRREGULAR:
        if word.endswith(plural):  # four becomes fmy
            return word.removesuffix(plural) + singular
    for rule, singular in _RULES:
        if rule.search(word):
            return rule.sub(rf"\g<1>{singular}", word)
    return word
