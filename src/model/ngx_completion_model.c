
#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_completion_model.h"


#undef NGX_COMPLETION_STATE
#undef NGX_COMPLETION_SOURCE
#undef NGX_COMPLETION_FAILURE
#undef NGX_COMPLETION_JOINT
#undef NGX_COMPLETION_TAG

#define NGX_COMPLETION_ONCE    0
#define NGX_COMPLETION_REPEAT  1

#define NGX_COMPLETION_STATE(name, label, said)  ngx_string(said),
#define NGX_COMPLETION_SOURCE(name, label)  ngx_string(label),
#define NGX_COMPLETION_TAG(name, label)  ngx_string(label),
#define NGX_COMPLETION_FAILURE(name, status)  status,
#define NGX_COMPLETION_JOINT(name, text, id)  ngx_string(text),
#define NGX_COMPLETION_JOINT_OF_ID(name, text, id)  ngx_string(id),
#define NGX_COMPLETION_OUTCOME(name, status, code, title, again, of)          \
    { status, code, title, NGX_COMPLETION_##again },


const ngx_completion_outcome_t
    ngx_completion_outcomes[NGX_COMPLETION_OUTCOMES] = {
    { 200, "ok", "", NGX_COMPLETION_ONCE },
#include "ngx_completion_outcomes.def"
};

ngx_str_t  ngx_completion_states[NGX_COMPLETION_STATES] = {
    NGX_COMPLETION_STATE_LIST(NGX_COMPLETION_STATE)
};

ngx_str_t  ngx_completion_sources[NGX_COMPLETION_SOURCES] = {
    NGX_COMPLETION_SOURCE_LIST(NGX_COMPLETION_SOURCE)
};

ngx_str_t  ngx_completion_tags[NGX_COMPLETION_TAGS] = {
    NGX_COMPLETION_TAGS_LIST(NGX_COMPLETION_TAG)
};

const ngx_uint_t  ngx_completion_failures[NGX_COMPLETION_FAILURES] = {
    NGX_COMPLETION_FAILURE_LIST(NGX_COMPLETION_FAILURE)
};

const ngx_str_t  ngx_completion_joints[NGX_COMPLETION_JOINTS] = {
    NGX_COMPLETION_JOINT_LIST(NGX_COMPLETION_JOINT)
};

const ngx_str_t  ngx_completion_joints_of_ids[NGX_COMPLETION_JOINTS] = {
    NGX_COMPLETION_JOINT_LIST(NGX_COMPLETION_JOINT_OF_ID)
};
