-- Whether the images to reuse are only some of the probes that they come from, or stand in another order there.
-- If neither, a top image of theirs was one in its own probe.
with used as (
    select
        source_id,
        min(image_id) as image_id
    from reused_images
    group by source_id
),

probes_used as (
    select distinct images.probe_id
    from store.images
    inner join used on images.image_id = used.source_id
),

placed as (
    select
        used.image_id,
        lag(used.image_id) over (partition by images.probe_id order by images.image_id) as image_before
    from store.images
    inner join probes_used using (probe_id)
    left join used on images.image_id = used.source_id
    where images.image_id not in (select failed_images.image_id from store.failed_images)
)

select coalesce(bool_or(image_id is null or image_id < image_before), false) as is_changed
from placed
