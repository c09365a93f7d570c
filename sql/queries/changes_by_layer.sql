-- How many units of each compared layer are the same, and what became of the others?
-- See the view label_changes for the words. activation_correlation is the median over the units that are live in both;
-- same_held and changed_held count those whose labels hold in both models (see unit_labels), since a label that does
-- not hold may be another one by chance.
--   $model_a: text = ; name of the model before; any where not given
--   $model_b: text = ; name of the model after; any where not given
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    model_a,
    model_b,
    layer,
    layer_b,
    any_value(position) as position,
    count(*) as units,
    count(*) filter (change = 'same') as same,
    count(*) filter (change = 'changed') as changed,
    count(*) filter (change = 'moved') as moved,
    count(*) filter (change = 'died') as died,
    count(*) filter (change = 'appeared') as appeared,
    count(*) filter (change = 'unmatched') as unmatched,
    count(*) filter (change = 'dead') as dead,
    median(activation_correlation) as activation_correlation,
    case
        when count(holds_a) > 0 and count(holds_b) > 0 then count(*) filter (change = 'same' and holds_a and holds_b)
    end as same_held,
    case
        when count(holds_a) > 0 and count(holds_b) > 0 then count(*) filter (change = 'changed' and holds_a and holds_b)
    end as changed_held,
    any_value(is_by_number) as is_by_number,
    any_value(compared_over) as compared_over
from label_changes
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and model_a = coalesce($model_a, model_a)
    and model_b = coalesce($model_b, model_b)
group by model_a, model_b, layer, layer_b, scoring_a, scoring_b
order by model_a asc, model_b asc, position asc, layer_b asc
