-- Which classes do the units of a layer prefer, where the images' paths tell the class? As the view preferred_classes.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $pattern: text; regular expression whose first group is the class, such as '_(\w+)[.]jpg$'
--   $probe: text = ; name of the images; all where not given
--   $top: integer = 1; how many classes of each unit
with sums as (
    select
        probe,
        unit,
        nullif(regexp_extract(image, $pattern, 1), '') as class,
        count(*) as images,
        sum(activation) as activations,
        sum(activation_rank) as ranks
    from activation_ranks
    where model = $model and layer = $layer and ($probe::varchar is null or probe = $probe::varchar)
    group by
        probe,
        unit,
        class
),

with_others as (
    select
        *,
        sum(images) over of_unit - images as others,
        activations / images as mean_activation,
        (sum(activations) over of_unit - activations) / nullif(others, 0) as others_mean
    from sums
    window of_unit as (partition by probe, unit)
),

measured as (
    select
        *,
        (ranks - images * (images + 1) / 2) / (images * others) as auc,
        (mean_activation - others_mean)
        / nullif(abs(mean_activation) + abs(others_mean), 0) as selectivity
    from with_others
    where class is not null and images > 1 and others > 0
),

ranked as (
    select
        *,
        row_number() over (
            partition by probe, unit
            order by auc desc, selectivity desc, class asc
        ) as rank
    from measured
)

select
    unit,
    rank,
    class,
    images,
    mean_activation,
    others_mean,
    auc,
    selectivity,
    probe
from ranked
where rank <= $top::integer
order by probe, unit, rank
