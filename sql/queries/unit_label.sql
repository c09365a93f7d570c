-- What does one unit stand for?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
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
    explanation,
    intercept,
    correlation,
    held_out_correlation,
    ceiling,
    stability,
    confidence,
    holds,
    is_polysemantic,
    monosemanticity,
    threshold,
    intersection_pixels,
    union_pixels,
    method,
    encoder,
    concept_set,
    probe
from unit_labels
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and model = $model
    and layer = $layer
    and unit = $unit::integer
