-- Which categories do the labels of each layer belong to, from early to late?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    model,
    layer,
    position,
    category,
    units,
    share
from category_by_layer
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by model asc, position asc, category asc
