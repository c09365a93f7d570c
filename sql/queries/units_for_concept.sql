-- Which units stand for a concept?
--   $concept: text; the concept, or a part of it
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
    and contains(lower(concept), lower($concept))
order by model asc, position asc, similarity desc
