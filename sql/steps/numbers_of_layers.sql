-- The layers of a setting by number, each with the numbers of the first and the last image of its probe.
select
    scorings.model,
    scorings.layer,
    scorings.probe,
    keys.layer_id,
    keys.probe_id,
    min(images.image_id) as first_image_id,
    max(images.image_id) as last_image_id
from scorings
inner join store.scorings as keys on scorings.scoring = keys.scoring_id
left join store.images on keys.probe_id = images.probe_id
where scorings.setting = $setting
group by scorings.model, scorings.layer, scorings.probe, scorings.position, keys.layer_id, keys.probe_id
order by scorings.model, scorings.position
