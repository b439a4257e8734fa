//! A cap on how many are in line (C26): a look before joining, which spares the store a place that would not
//! last, and a look from the place, which no other claim can get past.

use std::sync::Arc;

use crate::{
    claim::{Place, Via},
    error::{Error, ErrorKind, Result},
    recipe::{Entrance, Mutant, Request},
};

impl Entrance {
    /// A place at the end of the line, unless `most` are in line.
    pub(super) async fn join_among(&self, via: &Arc<Via>, request: &Request, most: usize) -> Result<Place> {
        let line = via.look(|| via.session.inspect(&self.line)).await?;
        self.check_room(line.places.len(), most)?;
        let place = Place::join(via.clone(), &self.line, self.claim(via, request)).await?;
        self.stay_among(&place, most).await?;
        Ok(place)
    }

    /// Gives the place up again when `most` or more are ahead of it. So of those who came at the same time
    /// the first ones stay.
    pub(super) async fn stay_among(&self, place: &Place, most: usize) -> Result<()> {
        let (via, ticket) = (place.via(), place.ticket());
        let line = via.look(|| via.session.inspect(&self.line)).await?;
        let ahead = line.places.iter().filter(|other| other.place < ticket.place).count();
        let room = self.check_room(ahead, most);
        if room.is_err() {
            place.leave().await?;
        }
        room
    }

    fn check_room(&self, ahead: usize, most: usize) -> Result<()> {
        if ahead < most || self.is(Mutant::NoCap) {
            return Ok(());
        }
        let message = format!("{ahead} claims are in line, of {most} that may be");
        Err(Error::new(ErrorKind::QueueFull, message))
    }
}
