"""What several updates have in common, in the docstrings' notation."""

MOMENTS = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,  nu_0 = 0
"""
CORRECTED = "mu^_t = mu_t / (1 - b1^t),  nu^_t = nu_t / (1 - b2^t)\n"
ADAM = MOMENTS + CORRECTED
BELIEF = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = b2 nu_{t-1} + (1 - b2) |g_t - mu_t|^2 + eps_root,  nu_0 = 0
"""
NESTEROV = f"""{MOMENTS}\
mu^_t = b1 mu_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t)
nu^_t = nu_t / (1 - b2^t)
"""
MAXIMUM = """\
mu_t = b1 mu_{t-1} + (1 - b1) g_t,  mu_0 = 0
nu_t = max(b2 nu_{t-1}, |g_t| + eps),  nu_0 = 0
"""
AVERAGE = "nu_t = decay nu_{t-1} + (1 - decay) |g_t|^2,  nu_0 = initial_scale\n"
STEP = "mu^_t / (sqrt(nu^_t + eps_root) + eps)"
DIRECTION = f"u_t = {STEP}\n"
CHANGE = """\
d_t = u_t - u_{t-1}  if t > 1
      0  otherwise
"""
WARMED = "a_t = learning_rate min(1, t / warmup_steps)\n"
AVERAGED = """\
w_t = max(w_{t-1}, a_t^weight_lr_power),  w_0 = 0
W_t = W_{t-1} + w_t,  W_0 = 0
x_t = x_{t-1} + w_t / W_t (z_t - x_{t-1}),  x_0 = p_0
p_t = (1 - b1) z_t + b1 x_t"""
