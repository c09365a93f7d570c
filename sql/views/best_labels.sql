-- One row per unit that has judged labels: the one of highest held-out correlation, whatever the labeler, encoder and
-- concepts. A unit that no label predicts has a row without a label: no lower end of a 95 % interval is above 0. What
-- predicts best need not be the right word: that is what confidence says.
-- Labels are put beside each other only where the same images judged them, left out in the same way; figures that came
-- with imported labels are beside each other too.
--   method: of the label; null where none predicts the unit, as concept, explanation and what follows
--   judged_probe: whose images judged the labels; null for figures that came with imported labels
--   left_out_by: image, or label where all images of a label were left out together; null as judged_probe is
--   candidates: labels of the unit that were judged so
--   scoring: that the label is of
with best_of_units as (
    select
        fidelity.model,
        fidelity.layer,
        fidelity.unit,
        fidelity.judged_probe,
        -- labels that no image here chose are beside those that single images were left out of
        case when fidelity.judged_probe is not null then coalesce(fidelity.kept_together, 'image') end as left_out_by,
        count(*) as candidates,
        max_by(
            struct_pack(
                method := scorings.method,
                concept := fidelity.concept,
                explanation := fidelity.explanation,
                held_out_correlation := fidelity.held_out_correlation,
                confidence := fidelity.confidence,
                scoring := fidelity.scoring,
                is_above := coalesce(fidelity.held_out_low, fidelity.held_out_correlation) > 0
            ),
            -- of equal ones the scoring made first
            (fidelity.held_out_correlation, -fidelity.scoring)
        ) as best
    from fidelity
    inner join scorings using (scoring)
    where fidelity.held_out_correlation is not null
    group by
        fidelity.model,
        fidelity.layer,
        fidelity.unit,
        fidelity.judged_probe,
        left_out_by
)

select
    best_of_units.model,
    best_of_units.layer,
    best_of_units.unit,
    case when best_of_units.best.is_above then best_of_units.best.method end as method,
    case when best_of_units.best.is_above then best_of_units.best.concept end as concept,
    case when best_of_units.best.is_above then best_of_units.best.explanation end as explanation,
    case when best_of_units.best.is_above then best_of_units.best.held_out_correlation end as held_out_correlation,
    case when best_of_units.best.is_above then best_of_units.best.confidence end as confidence,
    best_of_units.judged_probe,
    best_of_units.left_out_by,
    best_of_units.candidates,
    case when best_of_units.best.is_above then best_of_units.best.scoring end as scoring
from best_of_units
