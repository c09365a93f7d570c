-- Which units did training change most?
-- Units that moved, died, appeared or have another label, see the view label_changes; first those whose labels hold as
-- far as they are live (see unit_labels), and of these the ones whose activations correlate least with what they were.
--   $model_a: text = ; name of the model before; any where not given
--   $model_b: text = ; name of the model after; any where not given
--   $layer: text = ; only of this layer
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 20; how many units
select
    model_a,
    model_b,
    layer,
    unit,
    change,
    explanation_a,
    explanation_b,
    activation_correlation,
    unit_b,
    confidence_a,
    confidence_b,
    own_correlation,
    closest_unit,
    closest_correlation
from label_changes
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and change in ('changed', 'moved', 'died', 'appeared')
    and model_a = coalesce($model_a, model_a)
    and model_b = coalesce($model_b, model_b)
    and layer = coalesce($layer, layer)
order by
    -- a unit that is not live has no label to hold
    coalesce(holds_a, change = 'appeared') and coalesce(holds_b, change = 'died') desc,
    coalesce(own_correlation, 0) asc,
    model_a asc,
    model_b asc,
    position asc,
    unit asc
limit $top::integer
