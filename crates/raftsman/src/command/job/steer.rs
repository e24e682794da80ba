//! `raftsman job cancel|suspend|resume`

use proto::batch_v1::Job;
use proto::meta_v1::DeleteOptions;

use super::Target;
use crate::failure::Failure;

/// A Job changes under our hands while its Pods end: so often is a change tried again.
const CONFLICTS_MAX: u32 = 20;

/// Deletes the Job; its Pods are ended and go with it.
pub async fn cancel(target: Target) -> Result<(), Failure> {
    let session = target.connection.open()?;
    let options = DeleteOptions { propagation_policy: Some("Background".to_owned()), ..Default::default() };
    let client = &session.client;
    client.delete::<Job>(&session.namespace, &target.name, options).await?;
    println!("job.batch/{} cancelled", target.name);
    Ok(())
}

/// Sets `spec.suspend`.
pub async fn suspend(target: Target, suspend: bool) -> Result<(), Failure> {
    let session = target.connection.open()?;
    let word = if suspend { "suspended" } else { "resumed" };
    let mut conflicts = 0;
    loop {
        let mut job: Job = session.client.get(&session.namespace, &target.name).await?;
        let spec = job.spec.get_or_insert_default();
        if spec.suspend.unwrap_or(false) == suspend {
            eprintln!("job.batch/{} was {word} already", target.name);
            return Ok(());
        }
        spec.suspend = Some(suspend);
        match session.client.update(job).await {
            Ok(_) => break,
            Err(error) if error.is_conflict() && conflicts < CONFLICTS_MAX => conflicts += 1,
            Err(error) => return Err(error.into()),
        }
    }
    println!("job.batch/{} {word}", target.name);
    Ok(())
}
