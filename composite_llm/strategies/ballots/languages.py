"""Words for a ranking in the languages that reviewers are likely to answer in."""

from __future__ import annotations

RANKING_WORDS: tuple[str, ...] = (
    *("ranking", "rankings", "rank order", "ranked order"),
    *(
        "clasificación",
        "clasificacion",
        "classement",
        "rangliste",
        "rangfolge",
        "reihenfolge",
        "classifica",
        "graduatoria",
    ),
    *("classificação", "classificacao", "rangschikking", "rangordning", "rangering", "sijoitus", "ranking końcowy"),
    *(
        "klasyfikacja",
        "pořadí",
        "poradie",
        "rangsor",
        "clasament",
        "clasamentul",
        "sıralama",
        "рейтинг",
        "ранжирование",
    ),
    *("рейтинґ", "класиране", "κατάταξη", "peringkat", "xếp hạng", "الترتيب", "التصنيف", "رتبه", "דירוג", "रैंकिंग"),
    *("排名", "排序", "排行", "名次", "順位", "ランキング", "順番", "순위", "랭킹"),
)
"""What a heading or a key may be called."""

FINAL_WORDS: tuple[str, ...] = (
    *(
        "final",
        "finale",
        "finaler",
        "finales",
        "endgültige",
        "endgültiges",
        "abschließende",
        "definitivo",
        "definitiva",
    ),
    *("końcowa", "konečné", "végső", "finală", "nihai", "итоговый", "окончательный", "финальный", "τελική", "akhir"),
    *("最终", "最終", "最后", "최종", "cuối cùng", "النهائي"),
)
