//! What touched single schedules.

use almanac_base::names::Project;
use almanac_core::record::{HistoryRequest, Touch, remember};

use super::Machine;
use crate::reconcile::bounds;

impl Machine {
    /// Remembers what touched a schedule.
    pub(super) fn touched(&mut self, mut touch: Touch) {
        bounds::touch(&mut touch);
        remember(&mut self.state.history, touch);
    }

    /// What touched the schedules that are asked about, newest first. Where no
    /// definition was left, the schedule's own id was noted.
    pub(in crate::reconcile) fn history(
        &self,
        project: Option<&Project>,
        request: &HistoryRequest,
    ) -> Vec<Touch> {
        let id = request.id.as_str();
        let schedule = project.map(|project| format!("{}{id}", project.schedule_prefix()));
        let is_asked =
            |touch: &Touch| id.is_empty() || touch.id == id || Some(&touch.id) == schedule.as_ref();
        let history = self.state.history.iter().rev();
        history.filter(|touch| is_asked(touch)).cloned().collect()
    }
}
