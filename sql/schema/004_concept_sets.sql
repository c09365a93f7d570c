-- Of a concept set that was joined from several, those that each concept is in; null in any other.

alter table store.concept_set_concepts add column sets varchar[];
