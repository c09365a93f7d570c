-- Which of the images' own labels does one unit prefer?
-- By mean activation, the highest first; of labels that at least two images have.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 8; how many labels
--   $probe: text = ; the probe; each where not given
with by_label as (
    select
        activations.probe,
        activations.label,
        count(*) as images,
        avg(activations.activation) as mean_activation,
        stddev_samp(activations.activation) / sqrt(count(*)) as standard_error
    from activations
    where
        activations.model = $model
        and activations.layer = $layer
        and activations.unit = $unit::integer
        and ($probe::varchar is null or activations.probe = $probe::varchar)
        and activations.label is not null
        and activations.activation is not null
    group by activations.probe, activations.label
)

select
    label,
    images,
    mean_activation,
    standard_error,
    probe
from by_label
where images > 1
qualify
    row_number() over (partition by probe order by mean_activation desc, label asc) <= $top::integer
order by probe asc, mean_activation desc, label asc
