//! An application on cot whose sessions are in a table of ours.

use cot::config::ProjectConfig;
use cot::html::Html;
use cot::middleware::SessionMiddleware;
use cot::project::{MiddlewareContext, RegisterAppsContext, RootHandler, RootHandlerBuilder};
use cot::request::extractors::Path;
use cot::router::{Route, Router};
use cot::session::Session;
use cot::{App, AppBuilder, Project};
use session_store::tower_sessions::TowerStore;

/// The project, over a store that may have any options.
#[derive(Debug)]
pub struct Shop(pub TowerStore);

#[derive(Debug)]
struct Pages;

impl Project for Shop {
    fn config(&self, _: &str) -> cot::Result<ProjectConfig> {
        Ok(ProjectConfig::default())
    }

    fn register_apps(&self, apps: &mut AppBuilder, _: &RegisterAppsContext) {
        apps.register_with_views(Pages, "");
    }

    fn middlewares(&self, handler: RootHandlerBuilder, _: &MiddlewareContext) -> RootHandler {
        handler.middleware(SessionMiddleware::new(self.0.clone()).secure(false)).build()
    }
}

impl App for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn router(&self) -> Router {
        Router::with_urls([
            Route::with_handler("/", home),
            Route::with_handler("/add/{thing}", add),
            Route::with_handler("/sign-in/{name}", sign_in),
            Route::with_handler("/sign-out", sign_out),
        ])
    }
}

async fn home(session: Session) -> cot::Result<Html> {
    let user: Option<String> = session.get("user").await?;
    let things: Vec<String> = session.get("things").await?.unwrap_or_default();
    Ok(Html::new(format!("{} has {things:?}", user.as_deref().unwrap_or("nobody"))))
}

async fn add(session: Session, Path(thing): Path<String>) -> cot::Result<Html> {
    let mut things: Vec<String> = session.get("things").await?.unwrap_or_default();
    things.push(thing);
    session.insert("things", things).await?;
    Ok(Html::new("added"))
}

async fn sign_in(session: Session, Path(name): Path<String>) -> cot::Result<Html> {
    session.cycle_id().await?;
    session.insert("user", name).await?;
    Ok(Html::new("signed in"))
}

async fn sign_out(session: Session) -> cot::Result<Html> {
    session.flush().await?;
    Ok(Html::new("signed out"))
}
