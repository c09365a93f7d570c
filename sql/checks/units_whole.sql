-- Every layer that was loaded to its end or scored has one state for each unit, which its activations bear out.
-- A layer whose run was killed before that is incomplete, not wrong.
with loaded as (
    select
        chunks.layer_id,
        chunks.probe_id,
        count(*) = ceil(any_value(probes.images) / any_value(probes.chunk_images))
        and arg_max(runs.status, runs.run_id) = 'finished'
        and sum(chunks.images) > 0 as is_finished
    from store.chunks
    inner join store.probes using (probe_id)
    inner join store.runs using (run_id)
    where chunks.layer_id is not null
    group by chunks.layer_id, chunks.probe_id
),

needed as (
    select
        layer_id,
        probe_id
    from loaded
    where is_finished
    union
    select
        layer_id,
        probe_id
    from store.scorings
    where images > 0
    union
    select
        layer_id,
        probe_id
    from store.units
),

expected as (
    select
        needed.layer_id,
        needed.probe_id,
        unnest(range(layers.units))::integer as unit
    from needed
    inner join store.layers using (layer_id)
),

measured as (
    select
        activations.layer_id,
        images.probe_id,
        activations.unit,
        count(*) - count(activations.activation) as not_finite,
        max(activations.activation) as maximum,
        case
            when count(activations.activation) < count(*) then 'not finite'
            when
                max(activations.activation) - min(activations.activation)
                <= 1e-5 * greatest(abs(min(activations.activation)), abs(max(activations.activation)))
                then 'dead'
            else 'live'
        end as status
    from store.activations
    inner join store.images using (image_id)
    group by activations.layer_id, images.probe_id, activations.unit
),

found as (
    select
        layer_id,
        probe_id,
        unit,
        count(*) as times,
        any_value(status) as status,
        any_value(maximum) as maximum,
        any_value(not_finite) as not_finite
    from store.units
    group by layer_id, probe_id, unit
)

select
    layer_id,
    probe_id,
    unit,
    found.times,
    found.status,
    measured.status as status_expected
from expected
full join found using (layer_id, probe_id, unit)
left join measured using (layer_id, probe_id, unit)
where
    expected.unit is null
    or found.times is distinct from 1
    or found.status is distinct from measured.status
    or found.maximum is distinct from measured.maximum
    or found.not_finite is distinct from measured.not_finite
