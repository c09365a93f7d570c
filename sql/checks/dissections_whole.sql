-- Every dissection has each chunk of its probe once a pass, and once the thresholds of all are there one for each unit
-- of the layer. An outline is of an image of the probe and of a unit, which has one on each.
-- A layer whose run was killed before that is incomplete, not wrong.
with passes as (
    select
        dissected_chunks.dissection_id,
        dissected_chunks.pass,
        count(*) as chunks,
        count(distinct dissected_chunks.chunk) as distinct_chunks,
        max(dissected_chunks.chunk) as last_chunk,
        any_value(ceil(probes.images / probes.chunk_images)) as planned_chunks,
        arg_max(runs.status, runs.run_id) = 'finished' as is_finished
    from store.dissected_chunks
    inner join store.dissections using (dissection_id)
    inner join store.probes using (probe_id)
    inner join store.runs using (run_id)
    group by dissected_chunks.dissection_id, dissected_chunks.pass
),

needed as (
    select dissection_id
    from passes
    where pass = 'regions' or (distinct_chunks = planned_chunks and is_finished)
    union
    select dissection_id
    from store.thresholds
),

expected as (
    select
        needed.dissection_id,
        unnest(range(layers.units))::integer as unit
    from needed
    inner join store.dissections using (dissection_id)
    inner join store.layers using (layer_id)
),

thresholds as (
    select
        dissection_id,
        unit,
        count(*) as times
    from store.thresholds
    group by dissection_id, unit
),

drawn as (
    select
        outlines.dissection_id,
        outlines.unit,
        outlines.image_id,
        count(*) as times,
        bool_and(outlines.unit between 0 and layers.units - 1 and images.probe_id = dissections.probe_id) as is_of_both
    from store.outlines
    left join store.dissections using (dissection_id)
    left join store.layers using (layer_id)
    left join store.images using (image_id)
    group by outlines.dissection_id, outlines.unit, outlines.image_id
)

select
    dissection_id,
    pass as of_what,
    last_chunk as number,
    chunks as found
from passes
where chunks <> distinct_chunks or last_chunk >= planned_chunks
union all
select
    dissection_id,
    'thresholds of units' as of_what,
    unit as number,
    thresholds.times as found
from expected
full join thresholds using (dissection_id, unit)
where expected.unit is null or thresholds.times is distinct from 1
union all
select
    dissection_id,
    'outlines of units' as of_what,
    unit as number,
    times as found
from drawn
where times > 1 or not coalesce(is_of_both, false)
