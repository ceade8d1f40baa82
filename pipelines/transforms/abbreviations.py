"""What a full stop means in a language: abbreviations, ordinal numbers, words that begin a sentence.

A word that also ends sentences on its own (English "art", German "best") is in no list but BEFORE_NUMBERS.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANYWHERE = _words(
    "dr drs mr mrs ms messrs prof st ste gen col maj capt cpt lt sgt cmdr adm gov rev hon mt ft vs cf lit trans subsp "
    "ssp spp nos jan feb febr sept oct okt nov dec dez"
)
"""Words whose full stop seldom ends a sentence, in lower case, in any language of Latin letters."""

AT_NAMES = _words("jr sr inc ltd co corp bros univ dept al ed eds")
"""The same, but at the end of a name, so it may well be the sentence's end: see STARTERS."""

BEFORE_NUMBERS = _words(
    "no nr núm vol bd fig figs abb tab ch chap kap cap sec sect art arts op pp pag pág s str p v bl ca approx max min "
    "mar apr jun jul aug sep est um ok около гл стр рис табл том т № с кн"
)
"""Words whose full stop does not end a sentence where a number follows."""

WORDS: dict[str, frozenset[str]] = {
    code: _words(words)
    for code, words in {
        "de": "abk allg bspw bzgl bzw dgl dipl ebd ehem eigtl einschl entspr etw evtl geb gegr ggf hl hrsg hist ing "
        "inkl insb insbes jh jhd jhdt kath lat mio mrd nördl österr südl östl westl sog teilw urspr vgl vmtl",
        "fr": "av bd boul éd env hab mgr mm mme mmes mlle mlles réf suiv trad",
        "es": "aprox avda cía dña dra ee excmo gral hab lic pdte sra srta sres ud uds uu",
        "it": "arch avv cfr dott dottssa ing lett pag pagg sig sigg sigra",
        "pt": "aprox dra eng exa exma exmo gal hab profa sra sto sta séc",
        "nl": "bijv blz bv evt excl geb gebr gem incl ing ir jhr kon mevr mgr mln mld nl resp zgn",
        "sv": "bl dvs e ev fr förk gm ff inkl jfr kl milj mn mm obs osv resp sk st tel ung",
        "da": "bl dvs evt fhv hhv inkl jf jvf kgl kl mht mia mio mv nuv osv pga resp skt tlf vedr",
        "no": "bl dvs eks evt fhv forts hhv ifm iht inkl jf kgl kl mill mrd mv osv pga resp st tlf vedr årh",
        "fi": "eaa ekr em engl esim huom jaa jkr jne kpl ks lat lk mm mrd milj ns nyk po puh ruots saks synt tms ts "
        "vrt vv yms ym",
        "pl": "ang bp cd dn gen godz hab im inż jw kard ks lic łac mgr min mjr mld mln nast niem np nt ob "
        "ok os płk pn por pow poz proc pw św tj tys tzn tzw ul ur ww zob zw",
        "cs": "angl arch atd atp čes čís fr gen hl ing např něm obr odst okr plk pol popř pozn př příp resp roč "
        "řec sv tel tis tj tzn tzv ul viz zvl",
        "sk": "angl gen hl ing napr nem obr okr plk pozn resp roč sv tel tis tj tzn tzv ul",
        "hr": "čl dipl engl god inž lat mil mlrd npr odn odr ožu prim sij sv tel tis tj tzv ul",
        "hu": "bek dec dr évf febr fej ifj ill jan júl jún kb krt lásd márc márt nov okt old özv pl stb sz szept "
        "szerk szt tc ti tkp ún vö ápr",
        "ro": "aprox dl dna dvs fig jud lib mun nr pag sf str univ urm",
        "tr": "alb av bkz bul cad çev dç doç gön haz hz mah müh no öğr ör örn sn sok vb vd yrd yy",
        "ru": "акад англ архим вв внутр гг гос греч дер доц др евр зав зам изд им ин инж исп итал кв коп куб лат "
        "млн млрд назв нем обл оз пер пл пос пр проф прим ред рус руб св см соц ср стр тел тж тт тыс ул урожд устар "
        "фр франц чл яз",
        "uk": "акад англ буд вид вул грец губ див доц др зав заг зб ім ін кв км латин млн млрд напр наст нім обл оз "
        "пл пов пор пров просп проф рад рис рос рр св смт стор тис тов укр ур франц чол",
        "bg": "акад англ бул вж вкл вр ген гр гръц доц др ж инж исп ит кв кн кор лат лв млн млрд напр нар нем обл "
        "ок пл полк пор пр пф прев прибл проф ред рим рус св сл след стр тел ул фр хил чл",
        "el": "αγ αρ αριθ βλ δηλ δισ δρ εκατ εκ κα κεφ κλπ κος λατ μτφ μχ παρ πρβ σελ τηλ τομ χιλ χλμ",
    }.items()
}
"""Words of one language whose full stop seldom ends a sentence."""

ORDINALS = _words("de bar als nds lb hsb dsb da no nb nn fo is fi et lv lt pl cs sk sl hr bs sh sr mk hu tr az eu")
"""Languages that write an ordinal as a number and a full stop: 3. Oktober."""

STARTERS = _words(
    "After All Although An And As At Because Before But By Despite During Each For From He Her Here His How However "
    "If In Into It Its Many More Most Not On One Other Others Our She Since So Some Such That The Their Then There "
    "These They This Those Though Through Thus To Today Under Until We What When Where Which While Who With You"
)
"""English words that begin a sentence and hardly a name: before them the full stop of a name ends one."""
