-- How often does one unit fire how strongly?
-- One row per probe and bar of a histogram of the unit's activations, from the lowest to the highest; empty bars too.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $bars: integer = 40; how many bars
--   $probe: text = ; the probe; each where not given
with of_unit as (
    select
        activations.probe,
        activations.activation
    from activations
    where
        activations.model = $model
        and activations.layer = $layer
        and activations.unit = $unit::integer
        and ($probe::varchar is null or activations.probe = $probe::varchar)
        and activations.activation is not null
),

reach as (
    select
        probe,
        min(activation)::double as lowest,
        max(activation)::double as highest,
        -- of a unit whose activations are all equal, one bar of some width
        coalesce(nullif(highest - lowest, 0) / $bars::integer, 1) as width
    from of_unit
    group by probe
),

steps as (
    select unnest(range($bars::integer)) as bar
),

bars as (
    select
        reach.*,
        steps.bar
    from reach
    cross join steps
),

counted as (
    select
        of_unit.probe,
        -- the highest activation belongs to the last bar
        least(floor((of_unit.activation - reach.lowest) / reach.width), $bars::integer - 1) as bar,
        count(*) as images
    from of_unit
    inner join reach using (probe)
    group by all
)

select
    bars.lowest + bars.bar * bars.width as from_activation,
    bars.lowest + (bars.bar + 1) * bars.width as to_activation,
    coalesce(counted.images, 0) as images,
    bars.probe
from bars
left join counted using (probe, bar)
order by bars.probe, bars.bar
