-- One label a unit, in the columns of CLIP-Dissect's description files.
--   $model: text; name of the model
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    layer,
    unit,
    concept as description,
    similarity
from unit_labels
where
    setting = coalesce($setting::integer, (select max(setting) from scorings))
    and model = $model
order by position asc, unit asc
