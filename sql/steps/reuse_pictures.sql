-- The small pictures of images that are reused, where another model's run has not left them here already.
insert into store.thumbnails
select
    reused_images.image_id,
    thumbnails.width,
    thumbnails.height,
    thumbnails.webp
from store.thumbnails
inner join reused_images on thumbnails.image_id = reused_images.source_id
where
    thumbnails.image_id between $first_source_id and $last_source_id
    and reused_images.image_id not in (select known.image_id from store.thumbnails as known)
order by reused_images.image_id
