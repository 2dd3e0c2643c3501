"""netket: the ground state of a chain of spins by variational Monte Carlo."""

import netket as nk

graph = nk.graph.Chain(6)
hilbert = nk.hilbert.Spin(s=1 / 2, N=6)
hamiltonian = nk.operator.Ising(hilbert, graph, h=0.5)
sampler = nk.sampler.MetropolisLocal(hilbert, n_chains=16)
state = nk.vqs.MCState(
    sampler, nk.models.RBM(alpha=1), n_samples=256, seed=1, sampler_seed=2
)
driver = nk.driver.VMC(hamiltonian, nk.optimizer.Adam(0.02), variational_state=state)
log = nk.logging.RuntimeLog()
driver.run(20, out=log, show_progress=False)
print([float(v.real) for v in log.data["Energy"]["Mean"][-5:]])
