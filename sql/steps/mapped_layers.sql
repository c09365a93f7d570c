-- Those of some layers whose top images have the place where the unit fired.
select distinct layer_id
from store.top_images
where list_contains($layer_ids, layer_id) and peak_x is not null
order by layer_id
