-- Which units did each setting score, layer by layer, in the order in which that was done?
select
    scoring,
    setting,
    model,
    layer,
    list(unit order by unit) as units
from unit_labels
group by
    scoring,
    setting,
    model,
    layer
order by scoring
