-- What does one unit stand for?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    model,
    layer,
    unit,
    concept,
    category,
    similarity,
    runner_up,
    margin,
    p_value,
    q_value,
    is_significant,
    status,
    method,
    encoder,
    concept_set,
    probe
from unit_labels
where
    setting = coalesce($setting::integer, (select max(newest.setting) from scorings as newest))
    and model = $model
    and layer = $layer
    and unit = $unit::integer
