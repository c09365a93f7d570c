-- The highest activations of each unit over the whole probe, from those of each chunk.
insert into store.top_images
select
    layer_id,
    probe_id,
    unit,
    row_number() over (partition by unit order by activation desc, image_id asc) as rank,
    image_id,
    activation,
    peak_x,
    peak_y
from store.top_candidates
where layer_id = $layer_id and probe_id = $probe_id
qualify rank <= $top_images
order by unit, rank
