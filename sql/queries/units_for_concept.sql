-- Which units stand for a concept? In a pattern % stands for any text; every other character for itself.
-- Every concept of every label is looked at. Within a layer those come first whose label begins with the concept, and
-- last those in whose label its weight is negative: these go down with it. Of each, labels that are most likely right
-- come first, see confidence of unit_labels; then by similarity.
--   $concept: text; the concept, a word of it, or a pattern such as %dot%
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    unit_terms.model,
    unit_terms.layer,
    unit_terms.unit,
    unit_terms.concept,
    unit_labels.explanation,
    unit_terms.position,
    unit_terms.weight,
    unit_terms.share,
    unit_labels.similarity,
    unit_labels.margin,
    unit_labels.q_value,
    unit_labels.is_significant,
    unit_labels.held_out_correlation,
    unit_labels.confidence,
    unit_labels.holds
from unit_terms
inner join unit_labels using (scoring, unit)
where
    unit_terms.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and (
        unit_terms.concept ilike replace(replace($concept, '\', '\\'), '_', '\_') escape '\'
        or regexp_matches(
            lower(unit_terms.concept), '(^|[^\pL\pN])' || regexp_escape(lower($concept)) || '($|[^\pL\pN])'
        )
    )
order by
    unit_terms.model asc,
    unit_labels.position asc,
    unit_terms.weight < 0 asc,
    unit_terms.position asc,
    unit_labels.confidence desc,
    unit_labels.similarity desc,
    unit_terms.unit asc
