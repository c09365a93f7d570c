-- Which of the images' own labels each live unit of a layer prefers, by mean activation, the highest first; of labels
-- that at least two images have, as labels_a_unit_prefers has them for one unit. See unit_histograms.
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

-- activations are counted by the place of a label, since DuckDB groups by numbers faster than by text
labelled as (
    select
        image_id,
        label,
        dense_rank() over (order by label) as place
    from store.images
    where
        probe_id = $probe_id
        and label is not null
),

names as (
    select distinct
        place,
        label
    from labelled
),

by_label as (
    select
        of_layer.unit,
        labelled.place,
        count(*) as images,
        avg(of_layer.activation) as mean_activation,
        stddev_samp(of_layer.activation) / sqrt(count(*)) as standard_error
    from of_layer
    inner join labelled using (image_id)
    where of_layer.activation is not null
    group by of_layer.unit, labelled.place
    having count(*) > 1
),

preferred as (
    select by_label.*
    from by_label
    inner join live using (unit)
    qualify
        row_number() over (
            partition by by_label.unit order by by_label.mean_activation desc, by_label.place asc
        ) <= $top
)

select
    preferred.unit,
    names.label,
    preferred.images,
    preferred.mean_activation,
    preferred.standard_error
from preferred
inner join names using (place)
order by preferred.unit asc, preferred.mean_activation desc, preferred.place asc
