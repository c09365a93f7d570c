-- What is in this warehouse: which layers, over which probe, how far loaded, how often scored?
with loaded as (
    select
        chunks.layer_id,
        chunks.probe_id,
        sum(chunks.images) as images_loaded,
        count(*) as chunks_loaded
    from store.chunks
    where chunks.layer_id is not null
    group by chunks.layer_id, chunks.probe_id
),

scored as (
    select
        layer_id,
        probe_id,
        count(*) as scorings
    from store.scorings
    group by layer_id, probe_id
)

select
    models.name as model,
    layers.name as layer,
    layers.units,
    probes.name as probe,
    loaded.images_loaded,
    probes.images,
    loaded.chunks_loaded = ceil(probes.images / probes.chunk_images) as is_complete,
    coalesce(scored.scorings, 0) as scorings
from loaded
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes on loaded.probe_id = probes.probe_id
left join scored on loaded.layer_id = scored.layer_id and loaded.probe_id = scored.probe_id
order by models.name asc, layers.position asc, probes.name asc
