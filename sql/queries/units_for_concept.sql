-- Which units stand for a concept?
--   $concept: text; the concept, a word of it, or a pattern such as %dot%
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    model,
    layer,
    unit,
    concept,
    similarity,
    margin,
    q_value,
    is_significant
from unit_labels
where
    setting = coalesce($setting::integer, (select max(setting) from scorings))
    and (
        concept ilike $concept
        or regexp_matches(
            lower(concept), '(^|[^\pL\pN])' || regexp_escape(lower($concept)) || '($|[^\pL\pN])'
        )
    )
order by model asc, position asc, similarity desc
