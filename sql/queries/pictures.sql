-- Which images are among the top images of some unit, and how do they look?
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
--   $images: integer = 5; how many images of each unit
with probes_scored as (
    select
        model,
        layer,
        probe
    from scorings
    where setting = coalesce($setting::integer, (select max(newest.setting) from scorings as newest))
),

shown as (
    select distinct
        image_id,
        image,
        label
    from top_images
    inner join probes_scored using (model, layer, probe)
    where rank <= $images::integer
)

select
    shown.image_id,
    shown.image,
    shown.label,
    thumbnails.width,
    thumbnails.height,
    thumbnails.webp
from shown
left join store.thumbnails using (image_id)
order by shown.image_id
