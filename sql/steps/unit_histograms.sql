-- How often each live unit of a layer fires how strongly: bars of equal width from its lowest to its highest
-- activation, and how many images are in each, as activation_histogram has them for one unit. For all units of a
-- layer at once; layer and images are given by number, so that DuckDB reads no other layer's activations.
with live as (
    select unit
    from store.units
    where
        layer_id = $layer_id
        and probe_id = $probe_id
        and status = 'live'
),

of_layer as not materialized (
    select
        unit,
        image_id,
        activation
    from store.activations
    where
        layer_id = $layer_id
        and image_id between $first_image_id and $last_image_id
),

reach as (
    select
        unit,
        min(activation)::double as lowest,
        max(activation)::double as highest,
        -- of a unit whose activations are all equal, one bar of some width
        coalesce(nullif(highest - lowest, 0) / $bars, 1) as width
    from of_layer
    group by unit
),

counted as (
    select
        reach.unit,
        -- the highest activation belongs to the last bar
        least(floor((of_layer.activation - reach.lowest) / reach.width), $bars - 1)::integer as bar,
        count(*) as images
    from of_layer
    inner join reach using (unit)
    where of_layer.activation is not null
    group by reach.unit, bar
),

steps as (
    select unnest(range($bars)) as bar
)

select
    live.unit,
    reach.lowest,
    reach.lowest + $bars * reach.width as highest,
    list(coalesce(counted.images, 0) order by steps.bar) as images
from live
inner join reach using (unit)
cross join steps
left join counted on live.unit = counted.unit and steps.bar = counted.bar
group by live.unit, reach.lowest, reach.width
order by live.unit
