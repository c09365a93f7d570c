-- Which units stand for a concept? In a pattern % stands for any text; every other character for itself.
-- Within a layer those whose label is most likely right come first, see confidence of unit_labels; then by similarity.
--   $concept: text; the concept, a word of it, or a pattern such as %dot%
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    model,
    layer,
    unit,
    concept,
    similarity,
    margin,
    q_value,
    is_significant,
    held_out_correlation,
    confidence,
    holds
from unit_labels
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and (
        concept ilike replace(replace($concept, '\', '\\'), '_', '\_') escape '\'
        or regexp_matches(
            lower(concept), '(^|[^\pL\pN])' || regexp_escape(lower($concept)) || '($|[^\pL\pN])'
        )
    )
order by model asc, position asc, confidence desc, similarity desc
