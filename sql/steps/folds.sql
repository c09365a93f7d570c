-- The part of the probe, from 0 to 4, that each of some images is left out with: by its content, or by its
-- group or label where those are kept together, so that new images move no old one.
select
    image_id,
    ('0x' || left(
        sha256(
            coalesce(
                case when $kept_together = 'label' then label end,
                image_group,
                sha256,
                path
            )
        ),
        8
    ))::bigint % 5 as fold
from store.images
where image_id between $first_image_id and $last_image_id
order by image_id
