-- Which images are among the top images of some unit, and how do they look?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $images: integer = 5; how many images of each unit
with probes_scored as (
    select
        model,
        layer,
        probe
    from scorings
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
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
