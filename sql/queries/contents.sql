-- What is in this warehouse: which layers, over which probe, how far loaded, how often scored, how often held against
-- masks (dissections, of those that are done)?
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
),

passes as (
    select
        dissections.layer_id,
        dissections.probe_id,
        dissections.dissection_id,
        count(*) as chunks
    from store.dissections
    inner join store.dissected_chunks using (dissection_id)
    where dissected_chunks.pass = 'regions'
    group by dissections.layer_id, dissections.probe_id, dissections.dissection_id
),

dissected as (
    select
        passes.layer_id,
        passes.probe_id,
        count(*) as dissections
    from passes
    inner join store.probes using (probe_id)
    where passes.chunks = ceil(probes.images / probes.chunk_images)
    group by passes.layer_id, passes.probe_id
)

select
    models.name as model,
    layers.name as layer,
    layers.units,
    probes.name as probe,
    loaded.images_loaded,
    probes.images,
    loaded.chunks_loaded = ceil(probes.images / probes.chunk_images) as is_complete,
    coalesce(scored.scorings, 0) as scorings,
    coalesce(dissected.dissections, 0) as dissections
from loaded
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes on loaded.probe_id = probes.probe_id
left join scored on loaded.layer_id = scored.layer_id and loaded.probe_id = scored.probe_id
left join dissected on loaded.layer_id = dissected.layer_id and loaded.probe_id = dissected.probe_id
order by models.name asc, layers.position asc, probes.name asc
