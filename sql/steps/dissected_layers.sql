-- Which layers of a probe were looked at beside masks to the end, at a quantile, and beside which.
-- The newest masks come first.
select
    dissections.layer_id,
    dissections.concept_set_id
from store.dissections
inner join store.dissected_chunks using (dissection_id)
inner join store.probes using (probe_id)
where
    dissections.probe_id = $probe_id
    and dissections.quantile = $quantile
    and dissected_chunks.pass = 'regions'
group by
    dissections.layer_id,
    dissections.concept_set_id,
    probes.images,
    probes.chunk_images
having count(*) = ceil(probes.images / probes.chunk_images)
order by max(dissected_chunks.run_id) desc, dissections.concept_set_id desc, dissections.layer_id asc
