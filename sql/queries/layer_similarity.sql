-- How alike are the layers of two models: concepts that both have, as a share of all they have?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    model_a,
    layer_a,
    position_a,
    model_b,
    layer_b,
    position_b,
    shared,
    only_a,
    only_b,
    jaccard
from layer_overlap
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by model_a asc, model_b asc, position_a asc, position_b asc
