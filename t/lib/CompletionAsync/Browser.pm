package CompletionAsync::Browser;

=encoding utf8

=head1 NAME

CompletionAsync::Browser - headless Chromium for one test, driven by WebDriver

=head1 SYNOPSIS

    my $b = CompletionAsync::Browser->new;
    $b->go("http://127.0.0.1:$port/");
    $b->type('#text', 'To be');
    $b->click('#submit');
    $b->wait_for('document.querySelector("#status").textContent === "Done"');
    is $b->text('#result'), 'Быть';
    is_deeply [ $b->console ], [];

=head1 METHODS

    new(%opt)               args => [more of Chromium's arguments], timeout (20)
    go($url), reload, back, forward
    window                  opens another window, which is then the one spoken to: its handle
    to_window($handle)      goes on in that one, without a handle in the first
    close_window            and goes on in the first
    js($js, @arguments)     the value of this expression, or of its promise; "arguments[0]" is the
                            first argument
    inject($script)         runs a script as it is, whatever the page's policy is
    wait_for($js, $seconds) until the expression is true; its value, or false
    text($css)              the text of an element, whitespace around it dropped
    click($css)             as a mouse does: dies if something covers it
    type($css, $text)       into an element
    double_click($css)
    press(@keys)            to whatever has the focus: a character, or the names below; an array
                            is held together: press(['Control', 'Enter'])
    hold($times, @keys)     one chord held until the last of its keys has come so many times
    focus                   what has the focus: its id, or its tag
    accept_dialog
    cdp($command, %params)  a command of Chromium's DevTools protocol
    console                 messages since it was asked last, as "LEVEL SOURCE TEXT"
    screenshot($path)       the whole page as PNG
    process                 Chromium's pid
    quit                    ends the browser and removes its profile

Keys by name: Tab, Enter, Escape, Space, Shift, Control, Home, End, ArrowUp, ArrowDown.

=cut

use strict;
use warnings;
use v5.36;

use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use MIME::Base64 qw(decode_base64);
use Mojo::JSON qw(decode_json encode_json);
use POSIX qw(WNOHANG);
use Scalar::Util qw(weaken);

use CompletionAsync::Client qw(wait_until);

my $ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

# WebDriver's code points
my %KEY = (
    Tab   => "\x{E004}", Enter   => "\x{E007}", Shift => "\x{E008}", Control => "\x{E009}",
    Escape => "\x{E00C}", Space  => "\x{E00D}", End   => "\x{E010}", Home    => "\x{E011}",
    ArrowUp => "\x{E013}", ArrowDown => "\x{E015}",
);

my %LIVE;


END {
    local ($?, $@);
    $_->quit for grep { defined && $_->{owner} == $$ } values %LIVE;
}


sub new ($class, %arg) {
    my $self = bless { owner => $$, dir => tempdir('chromium-XXXXXX', TMPDIR => 1) }, $class;

    weaken($LIVE{$self} = $self);
    $self->{http} = HTTP::Tiny->new(
        timeout    => $arg{timeout} // 20,
        keep_alive => 1,
        proxy      => undef,
        http_proxy => undef,
    );
    $self->_start;

    my @args = (
        qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run),
        qw(--disable-background-networking --disable-component-update --disable-sync),
        qw(--disable-dev-shm-usage --hide-scrollbars), '--window-size=1100,900',
        "--user-data-dir=$self->{dir}/profile", @{ $arg{args} // [] },
    );
    my %options = (binary => _program('chromium'), args => \@args);
    my $session = $self->_call(POST => '/session', {
        capabilities => { alwaysMatch => {
            browserName              => 'chrome',
            'goog:chromeOptions'     => \%options,
            'goog:loggingPrefs'      => { browser => 'ALL' },
            unhandledPromptBehavior  => 'ignore',
        } },
    });
    $self->{session} = "/session/$session->{sessionId}";
    $self->{process} = $session->{capabilities}{'goog:processID'};
    return $self;
}


sub DESTROY ($self) {
    $self->quit if $self->{owner} == $$ && ${^GLOBAL_PHASE} ne 'DESTRUCT';
}


sub process ($self) { $self->{process} }


sub _program ($name) {
    my ($found) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
    return $found // die "there is no $name: run \"make deps\"\n";
}


sub _start ($self) {
    my $program = _program('chromedriver');

    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        # What Chromium keeps besides its profile goes there too.
        @ENV{qw(HOME XDG_CONFIG_HOME XDG_CACHE_HOME TMPDIR)} = ($self->{dir}) x 4;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $write or POSIX::_exit(1);
        open STDERR, '>', "$self->{dir}/driver.log" or POSIX::_exit(1);
        exec { $program } $program, '--port=0' or POSIX::_exit(127);
    }
    close $write;
    @$self{qw(driver pipe)} = ($pid, $read);

    my $said = '';
    while ($said !~ /successfully on port [0-9]+\./) {
        die "chromedriver does not start: $said\n"
            if !IO::Select->new($read)->can_read(20) || !sysread $read, $said, 4096, length $said;
    }
    $self->{url} = 'http://127.0.0.1:' . ($said =~ /successfully on port ([0-9]+)/)[0];
}


sub _call ($self, $method, $path, $data = undef) {
    my $content = $method eq 'POST' ? encode_json($data // {}) : undef;
    my $r = $self->{http}->request($method, "$self->{url}$path", {
        headers => { 'Content-Type' => 'application/json' },
        defined $content ? (content => $content) : (),
    });
    my $value = eval { decode_json($r->{content})->{value} };

    return $value if $r->{success};
    die ref $value ? "WebDriver: $value->{error}: " . ($value->{message} =~ s/\n.*//sr) . "\n"
        : "WebDriver: $r->{status} $r->{content}\n";
}


sub _do ($self, $method, $path, $data = undef) {
    return $self->_call($method, "$self->{session}$path", $data);
}


sub go ($self, $url) { $self->_do(POST => '/url', { url => $url }) }
sub reload ($self)     { $self->_do(POST => '/refresh') }
sub back ($self)       { $self->_do(POST => '/back') }
sub forward ($self)    { $self->_do(POST => '/forward') }
sub accept_dialog ($self) { $self->_do(POST => '/alert/accept') }


sub window ($self) {
    $self->{first} //= $self->_do(GET => '/window');
    my $new = $self->_do(POST => '/window/new', { type => 'window' });
    $self->to_window($new->{handle});
    return $new->{handle};
}


sub to_window ($self, $handle = $self->{first}) {
    $self->_do(POST => '/window', { handle => $handle });
}


sub close_window ($self) {
    $self->_do(DELETE => '/window');
    $self->to_window;
}


sub js ($self, $js, @arguments) {
    return $self->_do(
        POST => '/execute/sync',
        { script => "return ($js);", args => \@arguments },
    );
}


sub inject ($self, $script) {
    $self->_do(POST => '/execute/sync', { script => $script, args => [] });
}


sub wait_for ($self, $js, $seconds = 10) {
    return wait_until(sub { $self->js($js) }, $seconds);
}


sub text ($self, $css) {
    return $self->js('document.querySelector(arguments[0]).textContent.trim()', $css);
}


sub _element ($self, $css) {
    my $found = $self->_do(POST => '/element', { using => 'css selector', value => $css });
    return "/element/$found->{$ELEMENT}";
}


sub click ($self, $css) { $self->_do(POST => $self->_element($css) . '/click') }


sub double_click ($self, $css) {
    my @press = map { { type => $_, button => 0 } } qw(pointerDown pointerUp);
    my %origin = (origin => { $ELEMENT => $self->_element($css) =~ s{.*/}{}r });

    $self->_do(POST => '/actions', { actions => [ {
        type       => 'pointer',
        id         => 'mouse',
        parameters => { pointerType => 'mouse' },
        actions    => [ { type => 'pointerMove', x => 0, y => 0, %origin }, @press, @press ],
    } ] });
}


sub type ($self, $css, $text) {
    $self->_do(POST => $self->_element($css) . '/value', { text => $text });
}


sub press ($self, @keys) {
    my @actions;

    for my $chord (map { ref ? $_ : [$_] } @keys) {
        my @codes = map { $KEY{$_} // $_ } @$chord;
        push @actions, map({ { type => 'keyDown', value => $_ } } @codes),
            map { { type => 'keyUp', value => $_ } } reverse @codes;
    }
    $self->_keys(@actions);
}


sub hold ($self, $times, @keys) {
    my @codes = map { $KEY{$_} // $_ } @keys;
    my @again = ({ type => 'keyDown', value => $codes[-1] }) x ($times - 1);

    $self->_keys(map({ { type => 'keyDown', value => $_ } } @codes), @again,
        map { { type => 'keyUp', value => $_ } } reverse @codes);
}


sub _keys ($self, @actions) {
    $self->_do(
        POST => '/actions',
        { actions => [ { type => 'key', id => 'keyboard', actions => \@actions } ] },
    );
}


sub focus ($self) {
    return $self->js('document.activeElement.id || document.activeElement.localName');
}


sub cdp ($self, $command, %params) {
    return $self->_do(POST => '/goog/cdp/execute', { cmd => $command, params => \%params });
}


sub console ($self) {
    return map { "$_->{level} $_->{source} $_->{message}" }
        @{ $self->_do(POST => '/se/log', { type => 'browser' }) };
}


sub screenshot ($self, $path) {
    my $image = $self->cdp('Page.captureScreenshot', captureBeyondViewport => \1);

    open my $file, '>:raw', $path or die "$path: $!\n";
    print {$file} decode_base64($image->{data});
    close $file or die "$path: $!\n";
}


sub quit ($self) {
    my $driver = delete $self->{driver} or return;

    local ($?, $!, $@);
    eval { $self->_do(DELETE => '') } if $self->{session};
    kill TERM => $driver;
    for my $pid (grep { defined } $driver, $self->{process}) {
        my $gone = sub { !kill(0, $pid) || waitpid($pid, WNOHANG) > 0 };
        next if wait_until($gone, 5);
        kill KILL => $pid;
        wait_until($gone, 1);
    }
    remove_tree($self->{dir});
    delete $LIVE{$self};
}


1;
