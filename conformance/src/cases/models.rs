//! The model-based cases: one engine, and a mix of operations for each guarantee.

use crate::case::{Case, Ctx, Verdict, case};
use crate::model::{Mix, check};

pub(crate) const CASES: &[Case] = &[
    case!(G3, Model, sessions_live_and_die_as_the_model_says),
    case!(G4, Model, expiries_are_as_the_model_says),
    case!(G5, Model, versions_are_as_the_model_says),
    case!(G6, Model, rotations_are_as_the_model_says),
    case!(G8, Model, all_operations_are_as_the_model_says),
    case!(G8, Model, batches_are_as_single_calls_in_the_model),
    case!(G11, Model, purges_are_as_the_model_says),
    case!(G14, Model, principals_are_as_the_model_says),
];

async fn sessions_live_and_die_as_the_model_says(ctx: Ctx) -> Verdict {
    let mix = Mix {
        create: 6,
        load: 3,
        update: 4,
        touch: 4,
        destroy: 5,
        rotate: 2,
        fate: 5,
        purge: 1,
        ..Mix::default()
    };
    check(&ctx, mix).await
}

async fn expiries_are_as_the_model_says(ctx: Ctx) -> Verdict {
    let mix = Mix {
        create: 6,
        load: 3,
        update: 3,
        touch: 5,
        destroy: 1,
        rotate: 1,
        list: 2,
        count: 2,
        purge: 2,
        ..Mix::default()
    };
    check(&ctx, mix).await
}

async fn versions_are_as_the_model_says(ctx: Ctx) -> Verdict {
    check(&ctx, Mix { create: 3, load: 2, update: 8, touch: 2, rotate: 1, ..Mix::default() }).await
}

async fn rotations_are_as_the_model_says(ctx: Ctx) -> Verdict {
    check(&ctx, Mix { create: 4, load: 2, update: 2, destroy: 1, rotate: 8, purge: 1, ..Mix::default() })
        .await
}

async fn all_operations_are_as_the_model_says(ctx: Ctx) -> Verdict {
    check(&ctx, Mix::EVERYTHING).await
}

async fn batches_are_as_single_calls_in_the_model(ctx: Ctx) -> Verdict {
    check(&ctx, Mix { create: 2, load: 2, load_many: 4, write_many: 8, ..Mix::default() }).await
}

async fn purges_are_as_the_model_says(ctx: Ctx) -> Verdict {
    check(&ctx, Mix { create: 8, touch: 3, destroy: 2, purge: 5, count: 1, ..Mix::default() }).await
}

async fn principals_are_as_the_model_says(ctx: Ctx) -> Verdict {
    let mix = Mix {
        create: 6,
        update: 3,
        destroy: 1,
        rotate: 2,
        fate: 1,
        destroy_principal: 4,
        forget_principal: 2,
        list: 5,
        count: 3,
        ..Mix::default()
    };
    check(&ctx, mix).await
}
