-- All layers and encoders that a chunk was loaded for have the same images of it.
-- Where one lacks some, `cli ingest` makes it anew.
with counted as (
    select
        probe_id,
        chunk,
        layer_id,
        encoder_id,
        images,
        max(images) over (partition by probe_id, chunk) as most_images
    from store.chunks
)

select
    probe_id,
    layer_id,
    encoder_id,
    sum(most_images - images) as lacking_images
from counted
group by probe_id, layer_id, encoder_id
having lacking_images > 0
order by probe_id, layer_id, encoder_id
