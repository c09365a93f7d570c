-- Which labeler explains which layer best? Mean fidelity of each setting's labels, how many units it explains best
-- (wins; of equal ones the first), and how many units none of them explains.
-- What predicts best need not be the right word: that is what confidence says.
-- Settings are put beside each other only where the same images judged their labels, left out in the same way. They may
-- have labelled different units, so mean_of_shared is the mean held-out correlation over the shared_units, those of
-- which all of them have one.
--   $model: varchar = ; only of this model
--   $layer: varchar = ; only this layer
with judged as (
    select
        fidelity.*,
        case when fidelity.judged_probe is not null then coalesce(fidelity.kept_together, 'image') end as left_out_by,
        scorings.method,
        scorings.encoder,
        scorings.concept_set,
        scorings.position
    from fidelity
    inner join scorings using (scoring)
    where
        ($model::varchar is null or fidelity.model = $model::varchar)
        and ($layer::varchar is null or fidelity.layer = $layer::varchar)
),

means as (
    select
        setting,
        scoring,
        model,
        layer,
        position,
        judged_probe,
        left_out_by,
        method,
        encoder,
        concept_set,
        count(correlation) as labels,
        avg(held_out_correlation) as mean_held_out_correlation,
        avg(ceiling) as mean_ceiling,
        avg(stability) as mean_stability,
        avg(confidence) as mean_confidence
    from judged
    group by all
),

-- of each layer and way of judging, the units that all settings have judged
contenders as (
    select
        model,
        layer,
        judged_probe,
        left_out_by,
        list(distinct scoring) as scorings
    from judged
    where held_out_correlation is not null
    group by model, layer, judged_probe, left_out_by
),

shared_units as (
    select
        judged.model,
        judged.layer,
        judged.judged_probe,
        judged.left_out_by,
        judged.unit
    from judged
    inner join contenders
        on
            judged.model = contenders.model
            and judged.layer = contenders.layer
            and judged.judged_probe is not distinct from contenders.judged_probe
            and judged.left_out_by is not distinct from contenders.left_out_by
    where judged.held_out_correlation is not null
    group by judged.model, judged.layer, judged.judged_probe, judged.left_out_by, judged.unit
    having count(*) = any_value(len(contenders.scorings))
),

of_shared as (
    select
        judged.scoring,
        count(judged.held_out_correlation) as units,
        avg(judged.held_out_correlation) as mean_held_out_correlation
    from judged
    inner join shared_units
        on
            judged.model = shared_units.model
            and judged.layer = shared_units.layer
            and judged.judged_probe is not distinct from shared_units.judged_probe
            and judged.left_out_by is not distinct from shared_units.left_out_by
            and judged.unit = shared_units.unit
    group by judged.scoring
),

wins as (
    select
        scoring,
        judged_probe,
        left_out_by,
        count(*) as wins
    from best_labels
    where scoring is not null
    group by scoring, judged_probe, left_out_by
),

unexplained as (
    select
        model,
        layer,
        judged_probe,
        left_out_by,
        count(*) filter (concept is null) as unexplained
    from best_labels
    group by model, layer, judged_probe, left_out_by
)

select
    means.model,
    means.layer,
    means.judged_probe,
    means.left_out_by,
    means.setting,
    means.method,
    means.encoder,
    means.concept_set,
    means.labels,
    means.mean_held_out_correlation,
    means.mean_ceiling,
    means.mean_stability,
    means.mean_confidence,
    coalesce(wins.wins, 0) as wins,
    unexplained.unexplained,
    coalesce(of_shared.units, 0) as shared_units,
    of_shared.mean_held_out_correlation as mean_of_shared
from means
left join of_shared on means.scoring = of_shared.scoring
left join wins
    on
        means.scoring = wins.scoring
        and means.judged_probe is not distinct from wins.judged_probe
        and means.left_out_by is not distinct from wins.left_out_by
left join unexplained
    on
        means.model = unexplained.model
        and means.layer = unexplained.layer
        and means.judged_probe is not distinct from unexplained.judged_probe
        and means.left_out_by is not distinct from unexplained.left_out_by
order by
    means.model asc,
    means.position asc,
    means.judged_probe asc,
    means.left_out_by asc,
    means.mean_held_out_correlation desc,
    means.setting asc
