-- Which categories do the labels of each layer belong to, from early to late?
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
select
    model,
    layer,
    position,
    category,
    units,
    share
from category_by_layer
where setting = coalesce($setting::integer, (select max(setting) from scorings))
order by model asc, position asc, category asc
